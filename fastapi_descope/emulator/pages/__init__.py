"""The HTML pages of the emulator: the sign-in page and the console."""
