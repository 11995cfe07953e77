"""Train candidates: strategies, backtest, fitting on Spark, calibration, ONNX export, and the pipeline."""
