"""Architecture surgery, feature surgery, and forward passes that record what methods need."""
