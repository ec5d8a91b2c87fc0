"""Pages of made-up papers set by LaTeX in the classes of real journals, with exact regions.

A tool for whoever trains a model; the package does not depend on it. It needs pdflatex.
"""
