"""What is studied: models trained here and models loaded from elsewhere."""
