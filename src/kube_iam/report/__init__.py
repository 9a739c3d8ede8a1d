"""Renderings of plans, members and problems: tables, JSON, YAML. They only read what they are given."""
