"""What adb takes: its server, commands over it, and what it refuses."""
