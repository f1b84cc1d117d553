"""Programs that others made, in another form: quantized, in another opset, as `.ort`."""
