"""Pages with exact truth, by several typesetters."""
