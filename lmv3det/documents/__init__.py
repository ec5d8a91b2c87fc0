"""From the regions and text lines of pages to a document: its blocks in order, written as Markdown,
HTML and chunks.

A page becomes `PageContent` (`page.py`), in which every word of the page has its place; the pages
of a file become a `Document` (`whole.py`), where levels of headings, divided words and paragraphs
that go on are settled; writers put it down.
"""
