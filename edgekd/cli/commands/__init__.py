"""What people type: arguments, options and texts of the commands.

Each imports what it needs when it runs, so that help and lists answer at once.
"""
