from pathlib import Path

Path(__file__).with_name("ran").touch()
