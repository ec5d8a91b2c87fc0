"""Pages with the looks of many kinds of papers, theses and journals (setting ``papers``)."""
