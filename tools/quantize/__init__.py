"""Make the quantized u2netp, models/u2netp-int8.zip. __main__.py says how."""
