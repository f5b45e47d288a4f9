"""Takes 4 GB.

must not pass
sample
"""

hog = []
while len(hog) < 4096:
    hog.append(bytearray(b"x" * 2**20))
