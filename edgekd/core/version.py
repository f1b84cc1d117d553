"""The version of edgekd, said once."""

VERSION = "0.1.0"
