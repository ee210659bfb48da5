"""Make CLIP-like models safer, and measure how safe and how useful they remain."""

__version__ = "0.1.0"
