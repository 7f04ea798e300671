"""The emulator's HTML pages: the sign-in page and the console."""
