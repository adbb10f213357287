"""The weights that ship: one file in this folder, with its checksum beside it."""

from pathlib import Path

SHIPPED = Path(__file__).with_name("aost.safetensors")
