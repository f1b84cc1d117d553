"""Conformance checks for plug-ins, ours and other packages'."""
