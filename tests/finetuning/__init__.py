"""Fine-tuning: a trained model learns a task, an instruction, a preference."""
