"""From text to token ids: trained here, plain bytes, or any pretrained tokenizer."""
