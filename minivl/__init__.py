"""minivl."""
