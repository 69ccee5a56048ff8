"""`dojo finetune`: a trained model learns a task on data of our own."""
