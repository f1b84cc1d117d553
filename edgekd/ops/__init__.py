"""Pure tensor mathematics that plug-ins share."""
