"""The commands, and the groups in which they are listed."""

from __future__ import annotations

COMMANDS = {
    "train": ("lmv3det.cli.train", "train a detector"),
    "evaluate": ("lmv3det.cli.evaluate", "score a checkpoint on annotated pages"),
    "report": ("lmv3det.cli.report", "show where COCO results fail, in one HTML page"),
    "predict": ("lmv3det.cli.predict", "find the regions of images, folders and PDF files"),
    "batch": ("lmv3det.cli.batch", "find the regions of a corpus, on one machine or many"),
    "serve": ("lmv3det.cli.serve", "show regions in a browser, and answer programs"),
    "ocr": ("lmv3det.cli.ocr", "read the text lines of images, folders and PDF files"),
    "convert": ("lmv3det.cli.convert", "change weights from and to other formats"),
    "export": ("lmv3det.cli.export", "write a detector as an ONNX or TorchScript file"),
    "check": ("lmv3det.cli.check", "look for issues in a data set"),
    "harvest": ("lmv3det.cli.harvest", "make training data from tagged PDF, without annotation"),
    "convert-config": ("lmv3det.cli.convert_config", "turn a detectron2 yaml into a config"),
    "train-tokenizer": ("lmv3det.cli.train_tokenizer", "make a tokenizer from OCR files"),
    "doctor": ("lmv3det.cli.doctor", "check the installation, and say what the commands will use"),
    "shards": ("lmv3det.cli.shards", "write a data set as tar files, for training on many hosts"),
    "ablation": ("lmv3det.cli.ablation", "train several systems and print their table"),
    "synthetic": ("lmv3det.cli.synthetic", "make pages with exact annotations"),
    "completion": ("lmv3det.cli.completion", "print what bash, zsh or fish completes words with"),
}
"""Command → (module, one line of help)."""
GROUPS = {
    "find regions": ("predict", "batch", "serve"),
    "train and compare": ("train", "evaluate", "report", "ablation"),
    "prepare pages": ("ocr", "check", "harvest", "synthetic", "shards", "train-tokenizer"),
    "models and settings": ("convert", "export", "convert-config"),
    "this installation": ("doctor", "completion"),
}
"""The commands as they are listed."""
