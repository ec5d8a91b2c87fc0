"""The detector: encoder, fusion, pyramid, RPN, cascade, relation and mask heads.

Parts take numbers and modules; `detector.build_detector` alone reads a config. Imports
`structures`, `errors` and, there, `config`.
"""
