"""Edits of YAML text that leave every other byte as it is.

A library's round trip would wrap and quote anew what other people wrote. So `tree` parses a text into nodes with their positions,
`layout` finds lines and indentation around them, and `text` writes values as YAML. `edit` adds, replaces and removes items of a list,
`fields` sets single fields, and `notes` keeps in a comment what a list was before an edit. Each edit is parsed again, and must give
the old data with exactly the change that was asked for.

See docs/decisions/0003-mapping-lists-are-edited-as-text.md.
"""
