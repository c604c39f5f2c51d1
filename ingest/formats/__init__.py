"""Pure decoders, one protocol each: bytes → Columns. No I/O, no clock but the one handed in."""
