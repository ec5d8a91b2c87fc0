"""Examples of every command, which its `--help` ends with."""

from __future__ import annotations

_TEXT = {
    "predict": """
# a PDF as Markdown, with drawings of its pages
lmv3det predict paper.pdf -f markdown
# three pages of it, above a score
lmv3det predict paper.pdf --pages 1-3 -s 0.5
# a folder of scans, whose text an engine reads
lmv3det predict scans/ --ocr rapidocr -o regions
# from a pipe to a pipe
lmv3det predict - -o - -f markdown < paper.pdf > paper.md
# a summary for programs
lmv3det predict scans/ -q --json
""",
    "train": """
# fine-tune the model of the package on your pages
lmv3det train --config pages.yaml
# go on after a stop
lmv3det train --config pages.yaml --resume
# another learning rate and folder
lmv3det train --config pages.yaml solver.lr=1e-4 output_dir=run2
""",
    "evaluate": """
# the model of the package on your pages
lmv3det evaluate default --annotations val.json --images val
# your checkpoint, with a report of its mistakes
lmv3det evaluate output/best.pth --report report
""",
    "report": """
# two runs compared
lmv3det report before.json after.json --annotations val.json --images val -o report
""",
    "batch": """
# folders, tar files and a list to Parquet
lmv3det batch scans/ pages.tar list.txt -o regions
# go on after a stop
lmv3det batch scans/ -o regions --resume
# on a Ray cluster
lmv3det batch list.txt -o regions --engine ray --address auto -j 64
""",
    "serve": """
# a page and an API on this computer
lmv3det serve
# for others, with scans read by an engine
lmv3det serve --host 0.0.0.0 --ocr rapidocr
""",
    "ocr": """
# two folders, for training
lmv3det ocr pages/train pages/val -o pages/OCR
# the text layer of PDF files
lmv3det ocr papers/ -o OCR --engine pdf-text
# four processes
lmv3det ocr scans/ -o OCR -j 4
""",
    "convert": """
# a published detector as a folder
lmv3det convert model.pth --to pretrained -o model
""",
    "export": """
# a checkpoint as ONNX, compared on a page
lmv3det export output/best.pth -f onnx -o model.onnx --check page.png
""",
    "check": """
# annotations, images and text, with drawings
lmv3det check --annotations train.json --images train --ocr OCR --draw look
# no page in both splits
lmv3det check --annotations train.json --images train --against val.json val
""",
    "convert-config": """
# a yaml of detectron2
lmv3det convert-config theirs.yaml -o ours.yaml
""",
    "train-tokenizer": """
# of the OCR files of your pages
lmv3det train-tokenizer pages/OCR -o tokenizer
""",
    "doctor": """
# what is installed, and does it compute right
lmv3det doctor
# on a GPU
lmv3det doctor -d cuda
""",
    "shards": """
# 64 tar files
lmv3det shards --annotations train.json --images train --ocr OCR -o shards --shards 64
""",
    "ablation": """
# two systems on one data set
lmv3det ablation --data pages --configs image_only af2 -o ablation
""",
    "harvest": """
# pages and regions of the tagged PDF files of a folder
lmv3det harvest papers/ -o harvested --draw look
""",
    "synthetic": """
# 200 pages with exact annotations
lmv3det synthetic pages --pages 200 --seed 1
""",
    "completion": """
# for this shell
eval "$(lmv3det completion bash)"
""",
}
"""Command → what an example does, and its words, line by line."""


def epilog(name: str) -> str:
    """The examples of a command, as they end its help."""
    text = _TEXT.get(name, "").strip()
    return "examples:\n" + "\n".join(f"  {line}" for line in text.split("\n")) if text else ""


def examples(name: str) -> list[str]:
    """The command lines of a command's examples."""
    whole = _TEXT[name].replace("\\\n", " ")
    return [line for line in whole.strip().split("\n") if not line.startswith("#")]
