"""Edits of YAML text that keep every other byte.

A library's round trip would change line breaks and quotes of other authors. So `tree` parses a text into nodes with their positions,
`layout` finds lines and indentation around them, and `text` writes values as YAML. `edit` adds, replaces and removes items of a list,
`fields` sets single fields, and `notes` records in a comment the form of a list before an edit. Each edit is parsed again, and must
give the old data with exactly the requested change.

See docs/decisions/0003-mapping-lists-are-edited-as-text.md.
"""
