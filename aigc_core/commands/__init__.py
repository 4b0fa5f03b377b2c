"""What a person does with finished data and models: one file per command that is no stage of dvc.yaml."""
