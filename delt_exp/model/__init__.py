"""Language models: built fresh from a configuration or loaded pretrained, trained inside one LightningModule."""
