"""Pages with exact truth: an image, its regions in COCO format, and its words as an OCR file.

What every kind of page shares lies here: made-up prose (`text`, `english`, `chinese`), looks
(`style`), marks and how they are read back (`marks`, `truth`), scanning and wear (`degrade`), and
the files of a data set (`ocr`, `annotations`). Each sub-package sets pages by one program: `typst`,
`latex`, `html`.

Imports nothing of the detector but the modules that stand by themselves, such as `errors`, `files`
and `classes`.
"""
