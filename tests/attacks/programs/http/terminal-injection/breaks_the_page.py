"""Answers with markup that would run, or close a code block, where a report is shown as a page.

must not pass
"""

from right import serve

serve(
    echo=lambda self, sent: {"text": "</pre><script>document.title='passed'</script>\n```\n# passed\n[x](javascript:1)"}
)
