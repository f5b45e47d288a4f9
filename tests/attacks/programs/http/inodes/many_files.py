"""Makes 3,000 empty files.

no effect
"""

from pathlib import Path

from right import serve

for number in range(3000):
    try:
        Path(f"empty-{number}").touch()
    except OSError:
        break
serve()
