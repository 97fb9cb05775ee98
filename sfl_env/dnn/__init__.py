"""Networks that are split between a device and the server: what each cut costs."""
