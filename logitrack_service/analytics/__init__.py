"""Analytics: reports over the warehouse's rollups, and analysts' own SQL queries."""
