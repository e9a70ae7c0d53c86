"""A judge that is trained here on documents and spoiled copies of them."""
