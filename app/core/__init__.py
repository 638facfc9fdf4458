"""Code that knows no domain: what every package of the service stands on."""
