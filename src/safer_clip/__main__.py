"""``python -m safer_clip``, as ``torchrun`` wants it."""

from safer_clip.cli import main

if __name__ == "__main__":
    main()
