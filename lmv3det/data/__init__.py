"""From files to batches: annotations, OCR, images, transforms, loaders."""
