"""The HTTP API of Descope, as far as the emulator implements it, and the admin API of the console."""
