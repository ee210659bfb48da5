"""Errors for people: what was wrong, where, and what to do next."""

from __future__ import annotations


class SaferClipError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(SaferClipError):
    """A setting, an option or a path cannot be used."""
