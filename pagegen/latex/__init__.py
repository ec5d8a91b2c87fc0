"""Pages of made-up papers set by LaTeX in the classes of real journals, with exact regions.

It needs pdflatex and the classes; it says which Debian packages bring them where they are missing.

    python -m pagegen.latex OUT --pages 4000 --seed 1

Every region has a number, and all its letters and rules have a colour that looks black but
carries that number in its low bits (``pagegen.marks``), so that one run of pdflatex
gives the page and the truth. PDFium reads the colours back. A picture lies on a clipped sheet
of its region's colour. What has no colour is a header above the body and a footer below it;
elsewhere it is a fault, and the page is left out and named in ``faults.txt``, as is a page on
which two regions overlap.

What is a region follows the annotated pages of arXiv papers: a paragraph, up to a display
formula and from it on; its part in each column; a list; a reference list in each column; a
formula, with its number unless that stands far off; all footnotes of a column (``Footer``); a
figure with all its panels; a title with its number. Regions of words are as high as their type,
formulas, tables and figures as high as their ink.
"""
