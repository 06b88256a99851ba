"""The page for people: its template, style, script, and what fills the template in."""
