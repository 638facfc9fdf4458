"""How many of a product there were at a time: a feed that only grows, in parts by the month.

Owns `inventory_updates`. Programs that keep a library's stock write it; librarians and they read it.
"""
