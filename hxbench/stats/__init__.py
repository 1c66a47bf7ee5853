"""Pure: arrays in, frozen values out."""
