module longtail

go 1.21
