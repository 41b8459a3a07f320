"""From values to opcodes and buffers and back: how each kind of value is written, and read again."""
