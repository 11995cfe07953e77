"""Names of the trip assets, which their checks, the model's assets and the automation refer to."""

SOURCE = "tlc_trip_files"
BRONZE, SILVER, REJECTED = "bronze_trips", "silver_trips", "rejected_trips"
SAMPLE, STATS = "analytics_sample", "trip_stats"
TRIP_ASSETS = (BRONZE, SILVER, REJECTED, SAMPLE, STATS)
