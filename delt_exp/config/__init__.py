"""From YAML to checked objects, and what names them."""
