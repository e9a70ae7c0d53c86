"""A regression model that learns the scores of annotated documents and gives every document of a corpus one."""
