"""Networks: loading, placing on a device, and answering the calls of restorers."""
